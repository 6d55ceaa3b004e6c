const { XMLParser, XMLBuilder, XMLValidator } = require('fast-xml-parser');
module.exports = async () => ({
  parsed: new XMLParser({ ignoreAttributes: false }).parse('<a id="3"><b>1</b><b>2.5</b><b>x</b></a>'),
  built: new XMLBuilder().build({ a: { b: [1, 2] } }),
  error: XMLValidator.validate('<a><b></a>').err.code,
});

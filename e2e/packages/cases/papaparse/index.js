const Papa = require('papaparse');
module.exports = async () => {
  const { data, meta } = Papa.parse('a\tb\n1\tx\n2.5\t', { header: true, dynamicTyping: true });
  return { data, delimiter: meta.delimiter, csv: Papa.unparse([['h'], ['a,b']]) };
};

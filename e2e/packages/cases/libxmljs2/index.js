const xml = require('libxmljs2');
module.exports = async () => {
  const doc = xml.parseXml('<r xmlns:x="u"><x:t n="1">A</x:t><x:t n="2">B</x:t></r>');
  const xsd = xml.parseXml('<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="n" type="xs:integer"/></xs:schema>');
  return { titles: doc.find('//x:t', { x: 'u' }).map(n => n.text()), valid: ['<n>5</n>', '<n>x</n>'].map(t => xml.parseXml(t).validate(xsd)) };
};

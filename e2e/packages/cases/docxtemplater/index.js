const Docxtemplater = require('docxtemplater');
const PizZip = require('pizzip');
module.exports = async () => {
  const zip = new PizZip();
  zip.file('[Content_Types].xml', '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>');
  zip.file('word/document.xml', '<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>Hi {name}, you owe {#l}{n}, {/l}</w:t></w:r></w:p></w:body></w:document>');
  const doc = new Docxtemplater(zip);
  doc.render({ name: 'Bob', l: [{ n: 3 }, { n: 4 }] });
  return doc.getFullText();
};

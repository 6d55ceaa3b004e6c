const parse = require('pdf-parse/lib/pdf-parse.js');
const PDFDocument = require('pdfkit');
module.exports = async () => {
  const doc = new PDFDocument();
  doc.text('Hello Hearth').end();
  const { text, numpages } = await parse(new Uint8Array(Buffer.concat(await doc.toArray())));
  return { text: text.trim(), pages: numpages };
};

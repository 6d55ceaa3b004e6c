const PDFDocument = require('pdfkit');
module.exports = async () => {
  const doc = new PDFDocument({ compress: false });
  doc.text('Hearth').addPage().rect(1, 2, 3, 4).fill('red');
  doc.end();
  const pdf = Buffer.concat(await doc.toArray()).toString('latin1');
  const shown = /\[((?:<[0-9a-f]+>\s*-?\d*\s*)+)\] TJ/.exec(pdf)[1]; // pieces between the kerning
  const text = [...shown.matchAll(/<([0-9a-f]+)>/g)].map(m => Buffer.from(m[1], 'hex').toString('latin1')).join('');
  return { head: pdf.slice(0, 8), text, pages: pdf.match(/\/Type \/Page\b/g).length };
};

const { PDFDocument, StandardFonts } = require('pdf-lib');
module.exports = async () => {
  const a = await PDFDocument.create();
  a.setTitle('T');
  const page = a.addPage([200, 100]);
  page.drawText('Hi', { font: await a.embedFont(StandardFonts.Helvetica) });
  const field = a.getForm().createTextField('name');
  field.setText('typed');
  field.addToPage(page);
  const b = await PDFDocument.create();
  b.addPage();
  b.addPage();
  for (const p of await a.copyPages(b, [0, 1])) a.addPage(p);
  const bytes = await a.save(), back = await PDFDocument.load(bytes);
  const { width, height } = back.getPage(0).getSize();
  return { head: Buffer.from(bytes.subarray(0, 8)).toString(), pages: back.getPageCount(), title: back.getTitle(), size: [width, height], field: back.getForm().getTextField('name').getText() };
};

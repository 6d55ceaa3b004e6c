const ExcelJS = require('exceljs');
module.exports = async () => {
  const book = new ExcelJS.Workbook(), sheet = book.addWorksheet('S');
  sheet.addRow(['Name', 12.5, { formula: 'SUM(B1:B1)', result: 12.5 }]);
  sheet.getCell('A1').font = { bold: true };
  const file = await book.xlsx.writeBuffer();
  const back = new ExcelJS.Workbook();
  await back.xlsx.load(file);
  const row = back.getWorksheet('S').getRow(1);
  const zip = await require('jszip').loadAsync(file);
  const xml = await zip.file('xl/worksheets/sheet1.xml').async('string');
  return { cells: [row.getCell(1).value, row.getCell(2).value, `=${row.getCell(3).formula}`], xml: /<v>12\.5<\/v>/.exec(xml)[0], bold: row.getCell(1).font.bold };
};

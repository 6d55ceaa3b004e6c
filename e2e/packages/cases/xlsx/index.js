const XLSX = require('xlsx');
module.exports = async () => {
  const book = XLSX.utils.book_new();
  XLSX.utils.book_append_sheet(book, XLSX.utils.json_to_sheet([{ n: 1, t: 'a' }, { n: 2, t: 'b' }]), 'S');
  const sheet = XLSX.read(XLSX.write(book, { type: 'buffer', bookType: 'xlsx' })).Sheets.S;
  return { rows: XLSX.utils.sheet_to_json(sheet), csv: XLSX.utils.sheet_to_csv(sheet).trim(), ref: sheet['!ref'] };
};

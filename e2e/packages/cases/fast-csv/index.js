const csv = require('fast-csv');
module.exports = () => new Promise((resolve, reject) => {
  const rows = [];
  csv.parseString('n,t\n1,Ü\n2,"b,c"\n', { headers: true }).on('error', reject).on('data', r => rows.push([r.n, r.t])).on('end', () => resolve(rows));
});

const alasql = require('alasql');
module.exports = async () => alasql('SELECT team, SUM(n) AS total FROM ? GROUP BY team ORDER BY total DESC', [[{ team: 'a', n: 3 }, { team: 'b', n: 5 }, { team: 'a', n: 4 }]]);

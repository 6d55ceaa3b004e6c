const alasql = require('alasql');
module.exports = async () => alasql('SELECT team, SUM(n) AS n FROM ? GROUP BY team ORDER BY n DESC', [[{ team: 'a', n: 3 }, { team: 'b', n: 5 }, { team: 'a', n: 4 }]]);

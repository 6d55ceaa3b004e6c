const Decimal = require('decimal.js');
module.exports = async () => ({ pi: Decimal.clone({ precision: 38 }).acos(-1).toString(), exp: Decimal.exp(1).toString(), mod: new Decimal(-7).mod(3).toString() });

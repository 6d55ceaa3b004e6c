const B = require('bignumber.js');
module.exports = async () => ({ sum: B('0.1').plus('0.2').toString(), pow: B(2).pow(128).toFixed(), hex: B(255.5).toString(16), round: B('2.345').toFixed(2) });

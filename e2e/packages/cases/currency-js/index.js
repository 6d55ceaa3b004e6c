const currency = require('currency.js');
module.exports = async () => ({ split: currency(10).distribute(3).map(c => c.value), text: currency(1234.567).format(), sum: currency(0.1).add(0.2).value });

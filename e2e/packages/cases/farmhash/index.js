const farmhash = require('farmhash');
module.exports = async () => ({ fp64: String(farmhash.fingerprint64('test')), fp32: farmhash.fingerprint32('test') });

const { SHA3 } = require('sha3');
module.exports = async () => new SHA3(256).update('abc').digest('hex');

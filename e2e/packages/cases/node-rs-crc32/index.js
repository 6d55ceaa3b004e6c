const { crc32, crc32c } = require('@node-rs/crc32');
module.exports = async () => ({ crc32: crc32('123456789').toString(16), crc32c: crc32c('123456789').toString(16) });

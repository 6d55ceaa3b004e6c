const { xxh64, xxh32, xxh3 } = require('@node-rs/xxhash');
module.exports = async () => ({ xxh64: xxh64('', 0n).toString(16), xxh32: xxh32('abc', 0).toString(16), xxh3: xxh3.xxh64('', 0n).toString(16) });

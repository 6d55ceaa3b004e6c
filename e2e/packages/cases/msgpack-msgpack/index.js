const { encode, decode } = require('@msgpack/msgpack');
module.exports = async () => ({ hex: Buffer.from(encode({ compact: true, schema: 0 })).toString('hex'), back: decode(Buffer.from('9401ffc0a2c3a9', 'hex')) });

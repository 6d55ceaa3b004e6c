const { Encoder, decode, isNativeAccelerationEnabled } = require('cbor-x');
module.exports = async () => ({
  hex: new Encoder({ useRecords: false }).encode([1, 2, 3]).toString('hex'), map: decode(Buffer.from('a26161016162820203', 'hex')), native: isNativeAccelerationEnabled,
  big: String(decode(Buffer.from('c249010000000000000000', 'hex'))),
});

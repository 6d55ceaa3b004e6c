const { Packr, Unpackr, isNativeAccelerationEnabled } = require('msgpackr');
const plain = new Packr({ useRecords: false, variableMapSize: true });
module.exports = async () => ({
  hex: plain.pack({ compact: true, schema: 0 }).toString('hex'), long: new Unpackr().unpack(plain.pack(['é'.repeat(40)])), native: isNativeAccelerationEnabled,
});

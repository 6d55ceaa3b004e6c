const type = require('avsc').Type.forSchema({ type: 'record', name: 'test', fields: [{ name: 'a', type: 'long' }, { name: 'b', type: 'string' }] });
module.exports = async () => ({ hex: type.toBuffer({ a: 27, b: 'foo' }).toString('hex'), back: { ...type.fromBuffer(Buffer.from('3606666f6f', 'hex')) }, bad: type.isValid({ a: 'x', b: 'y' }) });

const { BSON, ObjectId } = require('bson');
module.exports = async () => ({ hex: Buffer.from(BSON.serialize({ hello: 'world' })).toString('hex'), back: BSON.deserialize(Buffer.from('160000000268656c6c6f0006000000776f726c640000', 'hex')), id: new ObjectId('507f191e810c19729de860ea').getTimestamp() });

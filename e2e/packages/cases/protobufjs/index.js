const { parse } = require('protobufjs');
const T = parse('syntax = "proto3"; message T { int32 a = 1; string b = 2; }').root.lookupType('T');
module.exports = async () => ({ hex: Buffer.from(T.encode({ a: 150 }).finish()).toString('hex'), text: Buffer.from(T.encode({ b: 'testing' }).finish()).toString('hex'), back: T.toObject(T.decode(Buffer.from('089601', 'hex'))) });

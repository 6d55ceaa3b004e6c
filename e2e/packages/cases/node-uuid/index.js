const uuid = require('node-uuid');
module.exports = async () => ({
  v1: uuid.v1({ node: [0x01, 0x23, 0x45, 0x67, 0x89, 0xab], clockseq: 0x1234, msecs: new Date('2011-11-01').getTime(), nsecs: 5678 }),
  bytes: uuid.unparse(uuid.parse('797ff043-11eb-11e1-80d6-510998755d10')),
});

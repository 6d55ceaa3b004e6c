const { create } = require('xmlbuilder2');
module.exports = async () => create({ version: '1.0' }).ele('root', { a: 1 }).ele('x').txt('<').up().ele('y').up().up().end();

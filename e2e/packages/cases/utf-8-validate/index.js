const valid = require('node-gyp-build')(require('node:path').dirname(require.resolve('utf-8-validate'))); // not the fallback in JavaScript
module.exports = async () => [Buffer.from('κόσμε'), Buffer.from('c080', 'hex'), Buffer.from('eda080', 'hex')].map(b => valid(b));

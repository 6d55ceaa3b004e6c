const prettier = require('prettier');
module.exports = async () => ({ js: await prettier.format('const a={b:1}', { parser: 'babel' }), md: await prettier.format('* a\n* b', { parser: 'markdown' }) });

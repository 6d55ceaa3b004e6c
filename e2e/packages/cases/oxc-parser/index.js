const { parseSync } = require('oxc-parser');
module.exports = async () => ({ type: parseSync('a.ts', 'function f(a: string): void {}').program.body[0].type, errors: parseSync('a.js', 'let a = ;').errors.length });

const babel = require('@babel/core');
const plugin = ({ types: t }) => ({ visitor: { BinaryExpression(path) { const v = path.evaluate(); if (v.confident) path.replaceWith(t.numericLiteral(v.value)); } } });
module.exports = async () => ({
  code: babel.transformSync('const f = n => n ?? 1;', { presets: [[require.resolve('@babel/preset-env'), { targets: { ie: 11 } }]], sourceType: 'script', configFile: false }).code,
  made: babel.transformSync('var seven = 3 + 4;', { plugins: [plugin], configFile: false }).code,
});

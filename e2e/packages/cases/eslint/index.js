const { Linter } = require('eslint');
module.exports = async () => new Linter().verify('x();\nlet y = 1;', [{ rules: { 'no-undef': 2, 'prefer-const': 1 } }]).map(m => [m.ruleId, m.line]);

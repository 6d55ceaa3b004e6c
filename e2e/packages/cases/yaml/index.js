const YAML = require('yaml');
module.exports = async () => {
  const doc = YAML.parseDocument('# head\na: 1 # why\n');
  doc.set('a', 2);
  return { js: YAML.parse('base: &b {a: 1}\nmore:\n  <<: *b\n  b: [true, ~]\n', { merge: true }), kept: String(doc) };
};

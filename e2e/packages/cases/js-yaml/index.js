const yaml = require('js-yaml');
module.exports = async () => {
  let error;
  try { yaml.load('a: 1\n  b: 2'); } catch (e) { error = e.reason; }
  return { load: yaml.load('- 1\n- a: |\n    x\n    y\n- 2024-01-01\n'), dump: yaml.dump({ a: [1, 'yes'] }), error };
};

const acorn = require('acorn');
module.exports = async () => {
  let error;
  try { acorn.parse('let = = 1', { ecmaVersion: 5 }); } catch (e) { error = e.message; }
  return { types: acorn.parse('import a from "a"; export const b = a?.b', { ecmaVersion: 2022, sourceType: 'module' }).body.map(n => n.type), error };
};

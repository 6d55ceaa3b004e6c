const { createPatch, applyPatch } = require('diff');
module.exports = async () => {
  const patch = createPatch('a', 'x\ny\n', 'x\nz\n');
  if (applyPatch('x\ny\n', patch) !== 'x\nz\n') throw new Error('patch does not apply');
  return patch.split('\n').slice(2).join('\n').replace(/\t$/gm, '');
};

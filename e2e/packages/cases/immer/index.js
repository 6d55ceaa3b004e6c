const { produce, produceWithPatches, enablePatches } = require('immer');
enablePatches();
module.exports = async () => {
  const base = [{ t: 'a', done: false }, { t: 'b' }];
  const next = produce(base, d => { d[0].done = true; });
  const [, patches] = produceWithPatches({ n: 1 }, d => { d.n++; });
  return { next, kept: next[1] === base[1] && base[0].done === false, patches, frozen: Object.isFrozen(next) };
};

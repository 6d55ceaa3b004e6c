const { LRUCache } = require('lru-cache');
module.exports = async () => {
  const disposed = [];
  const c = new LRUCache({ max: 2, dispose: (v, k) => disposed.push(k) });
  c.set('a', 1).set('b', 2);
  c.get('a');
  c.set('c', 3);
  return { kept: [...c.keys()], disposed: [...disposed] };
};

const MiniSearch = require('minisearch');
module.exports = async () => {
  const s = new MiniSearch({ fields: ['t', 'x'] });
  s.addAll([{ id: 1, t: 'Zen', x: 'the art of motorcycles' }, { id: 2, t: 'Art', x: 'art art' }, { id: 3, t: 'Moby Dick', x: 'whale' }]);
  return { hits: s.search('art', { boost: { t: 2 } }).map(r => r.id), suggest: s.autoSuggest('mob dic')[0]?.suggestion ?? s.autoSuggest('moby di')[0].suggestion };
};

const jsonata = require('jsonata');
const data = { items: [{ n: 'a', p: 5, q: 2 }, { n: 'b', p: 0, q: 1 }, { n: 'c', p: 15, q: 1 }] };
module.exports = async () => ({ total: await jsonata('$sum(items.(p * q))').evaluate(data), names: [...await jsonata('items[p > 0].n').evaluate(data)] });

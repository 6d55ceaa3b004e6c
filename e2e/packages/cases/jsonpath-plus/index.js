const { JSONPath } = require('jsonpath-plus');
module.exports = async () => JSONPath({ path: '$..book[?(@.price<10)].title', json: { store: { book: [{ title: 'A', price: 8 }, { title: 'C', price: 12 }, { title: 'B', price: 9 }] } } });

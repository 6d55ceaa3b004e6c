const { stringify } = require('csv-stringify');
module.exports = () => new Promise((ok, no) => stringify([{ a: 1, b: 'x,y' }, { a: 2, b: '"q"' }], { header: true }, (err, text) => (err ? no(err) : ok(text))));

const { Liquid } = require('liquidjs');
const engine = new Liquid();
engine.registerFilter('money', n => n.toFixed(2));
module.exports = async () => engine.parseAndRender('{{ n | capitalize }}: {% for x in l %}{{ x | money }}, {% endfor %}', { n: 'bob', l: [2.5, 1] });

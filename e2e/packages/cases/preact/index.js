const { h } = require('preact');
const { useMemo } = require('preact/hooks');
const { renderToString } = require('preact-render-to-string');
const Twice = ({ n }) => h('b', null, useMemo(() => n * 2, [n]));
module.exports = async () => renderToString(h('div', { class: 'a' }, h(Twice, { n: 1 })));

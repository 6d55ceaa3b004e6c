const { createElement: h, useState, useContext, createContext, use } = require('react');
const { renderToString } = require('react-dom/server');
const { renderToReadableStream } = require('react-dom/server.edge');
const Ctx = createContext(1);
const Item = ({ t, i }) => { const [n] = useState(i); return h('li', null, `${t}:${n}`); };
const Late = ({ p }) => h('p', null, `ctx ${useContext(Ctx) + use(p)}`);
module.exports = async () => {
  const p = new Promise(r => setTimeout(r, 5, 1));
  const stream = await renderToReadableStream(h(Ctx.Provider, { value: 4 }, h(Late, { p })));
  await stream.allReady;
  return { html: renderToString(h('ul', { className: 'l' }, ['a', '<b>'].map((t, i) => h(Item, { key: t, t, i })))), stream: await new Response(stream).text() };
};

const { minify } = require('terser');
module.exports = async () => {
  const { code, map } = await minify({ 'a.js': 'function add(first, second) { return first + second } if (false) { never() } console.log(add(1, 2));' }, { toplevel: true, sourceMap: true });
  return { code, map: JSON.parse(map).sources[0] };
};

const { Resvg } = require('@resvg/resvg-js');
const { PNG } = require('pngjs');
module.exports = async () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><circle cx="5" cy="5" r="4" fill="green"/></svg>';
  const { width, height, data } = PNG.sync.read(new Resvg(svg).render().asPng());
  return { size: [width, height], middle: [...data.subarray(4 * 55, 4 * 56)], corner: [...data.subarray(0, 4)] };
};

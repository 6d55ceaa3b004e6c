const jpeg = require('jpeg-js');
module.exports = async () => {
  const { data } = jpeg.encode({ data: Buffer.alloc(16 * 8 * 4, 128), width: 16, height: 8 }, 90);
  const back = jpeg.decode(data);
  return { soi: data.toString('hex', 0, 2), size: [back.width, back.height], grey: back.data.every((v, i) => i % 4 === 3 || Math.abs(v - 128) <= 2) };
};

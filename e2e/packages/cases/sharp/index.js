const sharp = require('sharp');
module.exports = async () => {
  const blue = await sharp({ create: { width: 16, height: 8, channels: 3, background: '#00f' } }).png().toBuffer();
  const webp = await sharp(blue).resize(8).webp({ lossless: true }).toBuffer();
  const { format, width, height } = await sharp(webp).metadata();
  const pixel = await sharp(webp).extract({ left: 3, top: 3, width: 1, height: 1 }).removeAlpha().raw().toBuffer();
  const svg = await sharp(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"><rect width="2" height="2" fill="red"/></svg>')).ensureAlpha().raw().toBuffer();
  return { meta: [format, width, height], pixel: [...pixel], svg: [...svg.subarray(0, 4)] };
};

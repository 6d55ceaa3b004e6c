const { Jimp, intToRGBA } = require('jimp');
module.exports = async () => {
  const image = new Jimp({ width: 8, height: 4, color: 0xff0000ff });
  image.resize({ w: 4, h: 2 });
  const back = await Jimp.read(await image.getBuffer('image/png'));
  const { r, g, b, a } = intToRGBA(back.getPixelColor(1, 1));
  const turned = back.clone().rotate(90);
  return { mime: back.mime, size: [back.width, back.height], pixel: [r, g, b, a], rotated: [turned.width, turned.height] };
};

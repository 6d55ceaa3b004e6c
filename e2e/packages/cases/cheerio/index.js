const cheerio = require('cheerio');
module.exports = async () => {
  const $ = cheerio.load('<p><a href=/a>A</a><a href="/b">B</a></p><ul id=x><li>1</ul>');
  $('#x').append($('<li>').addClass('new').text('2'));
  return { links: $('p > a').get().map(a => [$(a).attr('href'), $(a).text()]), html: $.html('#x') };
};

const h = require('handlebars').create();
h.registerHelper('loud', text => `${text}!`);
h.registerPartial('row', '<li>{{i}}: {{text}}</li>');
module.exports = async () => h.compile('<ul>{{#each rows}}{{> row i=@index text=(lookup this "t")}}{{/each}}</ul>')({ rows: [{ t: 'A&B' }, { t: h.helpers.loud('C') }] });

module.exports = async () => require('pug').render('ul\n  each t, i in l\n    li.a(data-n=i+1)= t', { l: ['one', 'two'] });

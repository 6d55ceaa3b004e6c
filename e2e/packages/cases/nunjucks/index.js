const nunjucks = require('nunjucks');
const files = { base: 'BASE({% block x %}{% endblock %})', page: '{% extends "base" %}{% block x %}{{ name | title }} & {{ l | length }}{% endblock %}' };
const env = new nunjucks.Environment({ getSource: name => ({ src: files[name], path: name, noCache: false }) }, { autoescape: true });
module.exports = async () => env.render('page', { name: 'bob', l: [1, 2, 3] });


import datetime
import django.contrib.auth.models
import django.contrib.auth.validators
import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import django.utils.timezone
import monitoring.fields
import monitoring.models.traders
import uuid
from django.conf import settings
from django.db import migrations, models


# App time for rows that SQL inserts, and for database defaults: real time until the installation has another clock.
APP_NOW = """
CREATE FUNCTION app_now() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    origin record;
BEGIN
    SELECT clock_epoch, clock_speed INTO origin FROM installation;
    IF NOT FOUND OR origin.clock_speed = 1 THEN
        RETURN clock_timestamp();
    END IF;
    RETURN to_timestamp(
        origin.clock_epoch + (extract(epoch FROM clock_timestamp()) - origin.clock_epoch) * origin.clock_speed
    );
END $$
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.RunSQL(APP_NOW, "DROP FUNCTION app_now()"),
        migrations.CreateModel(
            name='WorkflowRun',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('candle_time', models.BigIntegerField()),
                ('status', models.CharField(choices=[('due', 'Due'), ('claimed', 'Claimed'), ('decided', 'Decided'), ('skipped', 'Skipped'), ('failed', 'Failed'), ('late', 'Late')], db_default='due', default='due', max_length=16)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('attempt', models.PositiveIntegerField(db_default=0, default=0)),
                ('claimed_by', models.UUIDField(blank=True, null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('claimed_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('close_to_decision_ms', models.BigIntegerField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
            ],
            options={
                'db_table': 'workflow_runs',
            },
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'db_table': 'users',
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='AbsentCandle',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], max_length=8)),
                ('open_time', models.BigIntegerField()),
                ('noted_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
            ],
            options={
                'db_table': 'absent_candles',
                'constraints': [models.UniqueConstraint(fields=('market', 'symbol', 'interval', 'open_time'), name='absent_candle_once')],
            },
        ),
        migrations.CreateModel(
            name='Candle',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], max_length=8)),
                ('open_time', models.BigIntegerField()),
                ('open', monitoring.fields.NumericField()),
                ('high', monitoring.fields.NumericField()),
                ('low', monitoring.fields.NumericField()),
                ('close', monitoring.fields.NumericField()),
                ('volume', monitoring.fields.NumericField()),
                ('quote_volume', monitoring.fields.NumericField(db_default=0, default=0)),
                ('trades', models.BigIntegerField(db_default=0, default=0)),
                ('source', models.CharField(choices=[('stream', 'Stream'), ('backfill', 'Backfill')], db_default='stream', default='stream', max_length=16)),
                ('received_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
            ],
            options={
                'db_table': 'candles',
                'constraints': [models.UniqueConstraint(fields=('market', 'symbol', 'interval', 'open_time'), name='candle_once'), models.CheckConstraint(condition=models.Q(('high__gte', models.F('open')), ('low__gt', 0), ('low__lte', models.F('open')), ('high__gte', models.F('close')), ('low__lte', models.F('close')), ('volume__gte', 0)), name='candle_is_sane')],
            },
        ),
        migrations.CreateModel(
            name='Halt',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('scope', models.CharField(help_text='all, trader:KEY, symbol:NAME or workflow:KEY', max_length=200)),
                ('state', models.CharField(choices=[('reducing', 'Reducing'), ('halted', 'Halted')], max_length=16)),
                ('reason', models.TextField()),
                ('halted_by', models.CharField(max_length=150)),
                ('halted_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
                ('resumed_by', models.CharField(blank=True, db_default='', default='', max_length=150)),
                ('resumed_at', models.DateTimeField(blank=True, null=True)),
                ('resume_reason', models.TextField(blank=True, db_default='', default='')),
                ('source', models.CharField(choices=[('web', 'Web'), ('cli', 'Cli'), ('rule', 'Rule')], db_default='web', default='web', max_length=8)),
            ],
            options={
                'db_table': 'halts',
                'constraints': [models.UniqueConstraint(condition=models.Q(('resumed_at__isnull', True)), fields=('scope',), name='halt_one_open_per_scope'), models.CheckConstraint(condition=models.Q(('scope', 'all'), ('scope__regex', '^(trader|symbol|workflow):.+$'), _connector='OR'), name='halt_scope_is_known')],
            },
        ),
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=32)),
                ('instance', models.CharField(max_length=120)),
                ('started_at', models.DateTimeField()),
                ('beat_at', models.DateTimeField()),
                ('state', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
            ],
            options={
                'db_table': 'heartbeats',
                'constraints': [models.UniqueConstraint(fields=('kind', 'instance'), name='heartbeat_once_per_process')],
            },
        ),
        migrations.CreateModel(
            name='Installation',
            fields=[
                ('id', models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('market_source', models.TextField()),
                ('clock_epoch', monitoring.fields.NumericField()),
                ('clock_speed', monitoring.fields.NumericField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'installation',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='installation_is_one_row')],
            },
        ),
        migrations.CreateModel(
            name='Instrument',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('base', models.CharField(max_length=32)),
                ('quote', models.CharField(max_length=32)),
                ('tick_size', monitoring.fields.NumericField()),
                ('step_size', monitoring.fields.NumericField()),
                ('min_quantity', monitoring.fields.NumericField(db_default=0, default=0)),
                ('min_notional', monitoring.fields.NumericField(db_default=0, default=0)),
                ('is_trading', models.BooleanField(db_default=True, default=True)),
                ('updated_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
            ],
            options={
                'db_table': 'instruments',
                'constraints': [models.UniqueConstraint(fields=('market', 'symbol'), name='instrument_once'), models.CheckConstraint(condition=models.Q(('step_size__gt', 0), ('tick_size__gt', 0)), name='instrument_steps_positive')],
            },
        ),
        migrations.CreateModel(
            name='NotificationTarget',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('url', models.TextField(help_text='Address of the target, with its credentials.')),
                ('kinds', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='Event kinds; empty means all.')),
                ('min_level', models.CharField(choices=[('info', 'Info'), ('warning', 'Warning'), ('critical', 'Critical')], db_default='warning', default='warning', max_length=16)),
                ('quiet_from', models.TimeField(blank=True, null=True)),
                ('quiet_until', models.TimeField(blank=True, null=True)),
                ('is_active', models.BooleanField(db_default=True, default=True)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notification_targets', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'notification_targets',
            },
        ),
        migrations.CreateModel(
            name='Trader',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('strategy', models.TextField(blank=True, db_default='', default='', help_text='What the analyst is told about how this trader trades.')),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], db_default='binance', default=monitoring.models.traders.default_market, max_length=32)),
                ('symbols', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=128), help_text='Exchange symbols, for example BTCUSDT, ETHUSDT.', size=None)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], db_default='5m', default='5m', max_length=8)),
                ('side', models.CharField(choices=[('long', 'Long'), ('short', 'Short')], db_default='long', default='long', max_length=8)),
                ('conditions', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='When a signal is raised: [{"field": "rsi_14", "operator": "lt", "value": 30}]')),
                ('invalidation_conditions', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='When the idea is no longer valid; same form as the conditions.')),
                ('indicators', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text='Further indicators shown to the analyst, for example ["ema_200", "macd"].')),
                ('stop_atr_multiple', monitoring.fields.NumericField(db_default=2, default=2, help_text='Distance of the stop from the entry, in ATR(14).')),
                ('target_r', monitoring.fields.NumericField(db_default=2, default=2, help_text='Distance of the target, in multiples of the stop distance.')),
                ('analyst', models.CharField(choices=[('rules', 'Rules'), ('llm', 'Llm')], db_default='rules', default=monitoring.models.traders.default_analyst, max_length=8)),
                ('ai_model', models.CharField(blank=True, db_default='', default='', max_length=120)),
                ('auto_analyze_signals', models.BooleanField(db_default=True, default=True)),
                ('is_test', models.BooleanField(db_default=False, default=False)),
                ('state', models.CharField(choices=[('running', 'Running'), ('paused', 'Paused'), ('archived', 'Archived')], db_default='running', default='running', max_length=16)),
                ('max_monitoring_duration', models.DurationField(db_default=datetime.timedelta(days=1), default=datetime.timedelta(days=1))),
                ('max_reanalyses', models.PositiveIntegerField(db_default=5, default=5)),
                ('min_confidence_to_enter', monitoring.fields.NumericField(db_default=models.Value('0.6', monitoring.fields.NumericField()), default='0.6')),
                ('min_price_move_pct', monitoring.fields.NumericField(db_default=0, default=0, help_text='Closes that moved less (percent) since the last look are skipped.')),
                ('decision_deadline_pct', monitoring.fields.NumericField(db_default=50, default=50, help_text='Percent of the interval; never more than 120 s.')),
                ('daily_budget_usd', monitoring.fields.NumericField(blank=True, null=True)),
                ('webhook_token_hash', models.CharField(blank=True, editable=False, max_length=64, null=True, unique=True)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='traders', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'traders',
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Signal',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('symbol', models.CharField(max_length=128)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], max_length=8)),
                ('side', models.CharField(choices=[('long', 'Long'), ('short', 'Short')], db_default='long', default='long', max_length=8)),
                ('status', models.CharField(choices=[('new', 'New'), ('analyzing', 'Analyzing'), ('monitoring', 'Monitoring'), ('ready', 'Ready'), ('in_position', 'In Position'), ('closed', 'Closed'), ('expired', 'Expired')], db_default='new', default='new', max_length=16)),
                ('initial_price', monitoring.fields.NumericField(blank=True, null=True)),
                ('matched_conditions', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list)),
                ('metadata', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('source', models.CharField(choices=[('screen', 'Screen'), ('webhook', 'Webhook'), ('admin', 'Admin'), ('session', 'Session'), ('sql', 'Sql')], db_default='sql', default='sql', max_length=16)),
                ('external_id', models.CharField(blank=True, max_length=200, null=True)),
                ('reanalysis_count', models.PositiveIntegerField(db_default=0, default=0)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('monitoring_started_at', models.DateTimeField(blank=True, null=True)),
                ('position_opened_at', models.DateTimeField(blank=True, null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('close_reason', models.TextField(blank=True, db_default='', default='')),
                ('lease_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('claimed_by', models.UUIDField(blank=True, editable=False, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='signals', to='monitoring.trader')),
            ],
            options={
                'db_table': 'signals',
            },
        ),
        migrations.CreateModel(
            name='ScreeningCheck',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], max_length=8)),
                ('candle_time', models.BigIntegerField()),
                ('status', models.CharField(choices=[('due', 'Due'), ('fired', 'Fired'), ('no_match', 'No Match'), ('still_matching', 'Still Matching'), ('not_ready', 'Not Ready'), ('skipped', 'Skipped')], db_default='due', default='due', max_length=16)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('signal', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='screenings', to='monitoring.signal')),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='screenings', to='monitoring.trader')),
            ],
            options={
                'db_table': 'screenings',
            },
        ),
        migrations.CreateModel(
            name='BudgetReservation',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('reserved_usd', monitoring.fields.NumericField()),
                ('spent_usd', monitoring.fields.NumericField(blank=True, null=True)),
                ('lease_until', models.DateTimeField()),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='monitoring.trader')),
            ],
            options={
                'db_table': 'budget_reservations',
            },
        ),
        migrations.CreateModel(
            name='SignalAnalysis',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('initial', 'Initial'), ('monitoring', 'Monitoring'), ('management', 'Management')], max_length=16)),
                ('decision', models.CharField(blank=True, max_length=16, null=True)),
                ('confidence', monitoring.fields.NumericField(blank=True, null=True)),
                ('reasoning', models.TextField(blank=True, db_default='', default='')),
                ('outcome', models.CharField(db_default='ok', default='ok', max_length=16)),
                ('error', models.TextField(blank=True, db_default='', default='')),
                ('analyst', models.CharField(max_length=16)),
                ('model', models.CharField(blank=True, db_default='', default='', max_length=120)),
                ('prompt_version', models.CharField(blank=True, db_default='', default='', max_length=40)),
                ('request', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('raw_response', models.TextField(blank=True, db_default='', default='')),
                ('answer', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict, help_text='The validated answer, as the workflow acted on it.')),
                ('snapshot', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('prompt_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('completion_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('cost_usd', monitoring.fields.NumericField(blank=True, null=True)),
                ('latency_ms', models.PositiveIntegerField(blank=True, null=True)),
                ('attempts', models.PositiveSmallIntegerField(db_default=1, default=1)),
                ('candle_time', models.BigIntegerField(blank=True, null=True)),
                ('trace_id', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('signal', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='analyses', to='monitoring.signal')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='monitoring.trader')),
                ('run', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='analyses', to='monitoring.workflowrun')),
            ],
            options={
                'verbose_name_plural': 'signal analyses',
                'db_table': 'signal_analyses',
            },
        ),
        migrations.CreateModel(
            name='MonitoringDecision',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('timestamp', models.DateTimeField()),
                ('candle_time', models.BigIntegerField()),
                ('price', monitoring.fields.NumericField()),
                ('volume', monitoring.fields.NumericField()),
                ('decision', models.CharField(max_length=16)),
                ('confidence', monitoring.fields.NumericField()),
                ('reasoning', models.TextField()),
                ('trade_plan', models.JSONField(blank=True, null=True)),
                ('indicators', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('market_conditions', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('outcome', models.CharField(db_default='applied', default='applied', help_text='applied, or denied with the reason.', max_length=120)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('signal', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='monitoring.signal')),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='monitoring_decisions', to='monitoring.signalanalysis')),
                ('run', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='monitoring_decision', to='monitoring.workflowrun')),
            ],
            options={
                'db_table': 'monitoring_decisions',
            },
        ),
        migrations.CreateModel(
            name='WorkflowSchedule',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('workflow_type', models.CharField(choices=[('signal_monitoring', 'Signal Monitoring'), ('position_management', 'Position Management')], max_length=32)),
                ('entity_id', models.UUIDField()),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], db_default='binance', max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('interval', models.CharField(choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], max_length=8)),
                ('last_run_at', models.DateTimeField(blank=True, null=True)),
                ('last_candle_time', models.BigIntegerField(blank=True, null=True)),
                ('execution_count', models.PositiveIntegerField(db_default=0, default=0)),
                ('consecutive_errors', models.PositiveIntegerField(db_default=0, default=0)),
                ('last_error', models.TextField(blank=True, db_default='', default='')),
                ('last_error_at', models.DateTimeField(blank=True, null=True)),
                ('is_active', models.BooleanField(db_default=True, default=True)),
                ('started_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
                ('stopped_at', models.DateTimeField(blank=True, null=True)),
                ('stop_reason', models.CharField(blank=True, choices=[('decision_changed', 'Decision Changed'), ('max_reanalyses', 'Max Reanalyses'), ('max_duration', 'Max Duration'), ('position_closed', 'Position Closed'), ('error_limit_exceeded', 'Error Limit Exceeded'), ('operator', 'Operator'), ('signal_gone', 'Signal Gone')], db_default='', default='', max_length=32)),
                ('stop_note', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('updated_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='schedules', to='monitoring.trader')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'workflow_schedules',
            },
        ),
        migrations.AddField(
            model_name='workflowrun',
            name='schedule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='runs', to='monitoring.workflowschedule'),
        ),
        migrations.CreateModel(
            name='Event',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('seq', models.BigIntegerField(editable=False, null=True, unique=True)),
                ('xid', models.BigIntegerField(editable=False, null=True)),
                ('at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
                ('kind', models.CharField(max_length=40)),
                ('level', models.CharField(choices=[('info', 'Info'), ('warning', 'Warning'), ('critical', 'Critical')], db_default='info', default='info', max_length=16)),
                ('text', models.TextField(blank=True, db_default='', default='')),
                ('data', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('position_id', models.UUIDField(blank=True, null=True)),
                ('user', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('signal', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='monitoring.signal')),
                ('trader', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='monitoring.trader')),
                ('schedule', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='monitoring.workflowschedule')),
            ],
            options={
                'db_table': 'events',
            },
        ),
        migrations.CreateModel(
            name='AuditLog',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
                ('actor', models.CharField(max_length=150)),
                ('source', models.CharField(max_length=16)),
                ('address', models.GenericIPAddressField(blank=True, null=True)),
                ('action', models.CharField(max_length=80)),
                ('subject_type', models.CharField(max_length=40)),
                ('subject_id', models.CharField(max_length=64)),
                ('before', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('after', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('user', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'audit log',
                'db_table': 'audit_log',
                'indexes': [models.Index(fields=['-at'], name='audit_newest'), models.Index(fields=['subject_type', 'subject_id', '-at'], name='audit_by_subject')],
            },
        ),
        migrations.CreateModel(
            name='NotificationDelivery',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('sent', 'Sent'), ('failed', 'Failed'), ('shown', 'Shown')], db_default='pending', default='pending', max_length=16)),
                ('attempts', models.PositiveSmallIntegerField(db_default=0, default=0)),
                ('error', models.TextField(blank=True, db_default='', default='')),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('event', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='monitoring.event')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('target', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='deliveries', to='monitoring.notificationtarget')),
            ],
            options={
                'verbose_name_plural': 'notification deliveries',
                'db_table': 'notification_deliveries',
                'indexes': [models.Index(condition=models.Q(('status', 'pending')), fields=['created_at'], name='delivery_pending')],
                'constraints': [models.UniqueConstraint(fields=('event', 'user', 'target'), name='delivery_once', nulls_distinct=False)],
            },
        ),
        migrations.AddIndex(
            model_name='trader',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['market', 'interval'], name='trader_running_by_interval'),
        ),
        migrations.AddConstraint(
            model_name='trader',
            constraint=models.UniqueConstraint(fields=('user', 'name'), name='trader_name_once_per_user'),
        ),
        migrations.AddConstraint(
            model_name='trader',
            constraint=models.CheckConstraint(condition=models.Q(('stop_atr_multiple__gt', 0), ('target_r__gt', 0)), name='trader_distances_positive'),
        ),
        migrations.AddConstraint(
            model_name='trader',
            constraint=models.CheckConstraint(condition=models.Q(('min_confidence_to_enter__gte', 0), ('min_confidence_to_enter__lte', 1)), name='trader_confidence_is_fraction'),
        ),
        migrations.AddConstraint(
            model_name='trader',
            constraint=models.CheckConstraint(condition=models.Q(('decision_deadline_pct__gt', 0), ('decision_deadline_pct__lte', 100)), name='trader_deadline_is_percent'),
        ),
        migrations.AddIndex(
            model_name='signal',
            index=models.Index(condition=models.Q(('status__in', ['new', 'analyzing', 'ready'])), fields=['created_at'], name='signal_in_passing_state'),
        ),
        migrations.AddIndex(
            model_name='signal',
            index=models.Index(fields=['trader', '-created_at'], name='signal_by_trader'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.UniqueConstraint(fields=('trader', 'external_id'), name='signal_once_per_external_id'),
        ),
        migrations.AddConstraint(
            model_name='signal',
            constraint=models.CheckConstraint(condition=models.Q(('initial_price__isnull', True), ('initial_price__gt', 0), _connector='OR'), name='signal_price_positive'),
        ),
        migrations.AddIndex(
            model_name='screeningcheck',
            index=models.Index(condition=models.Q(('status', 'due')), fields=['market', 'interval', 'candle_time'], name='screening_due'),
        ),
        migrations.AddConstraint(
            model_name='screeningcheck',
            constraint=models.UniqueConstraint(fields=('trader', 'symbol', 'interval', 'candle_time'), name='screening_once'),
        ),
        migrations.AddIndex(
            model_name='budgetreservation',
            index=models.Index(fields=['day', 'trader'], name='reservation_by_day'),
        ),
        migrations.AddConstraint(
            model_name='budgetreservation',
            constraint=models.CheckConstraint(condition=models.Q(('reserved_usd__gte', 0)), name='reservation_not_negative'),
        ),
        migrations.AddIndex(
            model_name='signalanalysis',
            index=models.Index(fields=['signal', '-created_at'], name='analysis_by_signal'),
        ),
        migrations.AddIndex(
            model_name='signalanalysis',
            index=models.Index(fields=['-created_at'], name='analysis_newest'),
        ),
        migrations.AddConstraint(
            model_name='signalanalysis',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'initial')), fields=('signal',), name='analysis_one_initial_per_signal'),
        ),
        migrations.AddConstraint(
            model_name='signalanalysis',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decision__isnull', False), ('outcome', 'ok')), models.Q(models.Q(('outcome', 'ok'), _negated=True), ('decision__isnull', True)), _connector='OR'), name='analysis_no_decision_is_named'),
        ),
        migrations.AddIndex(
            model_name='monitoringdecision',
            index=models.Index(fields=['signal', '-timestamp'], name='monitoring_by_signal'),
        ),
        migrations.AddConstraint(
            model_name='monitoringdecision',
            constraint=models.CheckConstraint(condition=models.Q(('decision__in', ['enter', 'continue', 'abandon'])), name='monitoring_decision_is_known'),
        ),
        migrations.AddConstraint(
            model_name='monitoringdecision',
            constraint=models.CheckConstraint(condition=models.Q(('confidence__gte', 0), ('confidence__lte', 1)), name='monitoring_confidence_is_fraction'),
        ),
        migrations.AddIndex(
            model_name='workflowschedule',
            index=models.Index(condition=models.Q(('is_active', True)), fields=['symbol', 'interval'], name='schedule_active_by_symbol'),
        ),
        migrations.AddIndex(
            model_name='workflowschedule',
            index=models.Index(fields=['workflow_type', 'entity_id'], name='schedule_by_entity'),
        ),
        migrations.AddIndex(
            model_name='workflowschedule',
            index=models.Index(fields=['trader', 'is_active'], name='schedule_by_trader'),
        ),
        migrations.AddConstraint(
            model_name='workflowschedule',
            constraint=models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('workflow_type', 'entity_id'), name='schedule_one_active_per_entity'),
        ),
        migrations.AddConstraint(
            model_name='workflowschedule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('is_active', True), ('stopped_at__isnull', True)), models.Q(('is_active', False), ('stopped_at__isnull', False)), _connector='OR'), name='schedule_active_or_stopped'),
        ),
        migrations.AddIndex(
            model_name='workflowrun',
            index=models.Index(condition=models.Q(('status__in', ['due', 'claimed'])), fields=['candle_time'], name='run_open'),
        ),
        migrations.AddIndex(
            model_name='workflowrun',
            index=models.Index(fields=['-created_at'], name='run_newest'),
        ),
        migrations.AddConstraint(
            model_name='workflowrun',
            constraint=models.UniqueConstraint(fields=('schedule', 'candle_time'), name='run_once_per_close'),
        ),
        migrations.AddConstraint(
            model_name='workflowrun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', True), ('status__in', ['due', 'claimed'])), models.Q(('finished_at__isnull', False), ('status__in', ['decided', 'skipped', 'failed', 'late'])), _connector='OR'), name='run_final_means_finished'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('seq__isnull', True)), fields=['xid'], name='event_waiting_for_seq'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['at'], name='event_by_time'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('signal__isnull', False)), fields=['signal', 'id'], name='event_by_signal'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('position_id__isnull', False)), fields=['position_id', 'id'], name='event_by_position'),
        ),
    ]
